"""How the shipped fraud model is made: replayed traffic, the fit, the export and the model card."""
