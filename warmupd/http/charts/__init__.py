"""Charts as SVG, drawn on the server: one module a kind; colours come from the style sheet, by class."""
