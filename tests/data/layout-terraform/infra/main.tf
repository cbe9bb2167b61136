resource "aws_ecr_repository" "labels" {
  name = "labels"
}

resource "docker_image" "labels" {
  name     = "${aws_ecr_repository.labels.repository_url}:${var.release}"
  platform = "linux/arm64"

  build {
    context    = local.labels
    build_args = { STAGE = "prod" }
  }
}

resource "docker_registry_image" "labels" {
  name = docker_image.labels.name
}

resource "aws_lambda_function" "labels" {
  function_name = "${var.environment}-labels"
  role          = var.role
  package_type  = "Image"
  architectures = ["arm64"]
  image_uri     = docker_registry_image.labels.name
}

module "resize_image" {
  source = "terraform-aws-modules/lambda/aws//modules/docker-build"

  create_ecr_repo  = true
  ecr_repo         = "resize"
  source_path      = abspath("${path.root}/..")
  docker_file_path = "services/resize/docker/lambda.Dockerfile"
  platform         = "linux/arm64"
}

module "resize" {
  source = "terraform-aws-modules/lambda/aws"

  function_name  = "resize-${random_pet.suffix.id}"
  create_package = false
  image_uri      = module.resize_image.image_uri
  package_type   = "Image"
  architectures  = ["arm64"]
}

module "thumbnail" {
  source = "./function"

  name   = "thumbnail"
  folder = "${path.root}/../services/thumbnail"
  role   = var.role
}

resource "aws_lambda_function" "zipped" {
  function_name = "zipped"
  role          = var.role
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = "zipped.zip"
}
