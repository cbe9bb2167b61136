"""AWS APIs: clients, errors, Lambda, CodeBuild and the settings of ECR."""
