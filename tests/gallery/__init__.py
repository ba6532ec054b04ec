"""Pictures of every page a payer can be shown, to be leafed through by a reviewer (``make gallery``)."""
