"""Lambda, CodeBuild and what else of AWS is not a registry."""
