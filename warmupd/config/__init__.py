"""The configuration: `load` reads it, `Config` is it, and `config.toml.example` explains every key.

pydantic checks the values; finding them is done here and not by a settings library, because a report must name the
file or variable that each value stands in, and name all that is wrong at once.
"""

from warmupd.config.loader import changed_needing_restart, default_data_dir, load
from warmupd.config.model import Config

__all__ = ["Config", "changed_needing_restart", "default_data_dir", "load"]
