"""The steps that commands are made of: plan, build, push, tag; each a call with values in and out."""
