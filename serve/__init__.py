"""Ray Serve deployments of inference; empty until the model issue fills it."""
