"""The running thing: leases, the shard's path from heap to settlement, visits and engagement, housekeeping."""
