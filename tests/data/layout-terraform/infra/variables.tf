locals {
  labels = "${path.module}/../services/labels"
}

variable "environment" {
  type    = string
  default = "dev"
}

variable "release" {
  type = string
}

variable "role" {
  type = string
}

resource "random_pet" "suffix" {}
