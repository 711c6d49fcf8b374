"""Ray Serve deployments of inference."""
