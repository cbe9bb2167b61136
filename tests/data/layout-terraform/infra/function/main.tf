variable "name" { type = string }
variable "folder" { type = string }
variable "role" { type = string }

resource "docker_image" "this" {
  name = "${var.name}:latest"

  build {
    context  = var.folder
    platform = "linux/arm64"
  }
}

resource "aws_lambda_function" "this" {
  function_name = var.name
  role          = var.role
  package_type  = "Image"
  architectures = ["arm64"]
  image_uri     = docker_image.this.name
}
