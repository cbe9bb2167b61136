ARG BASE_IMAGE=shared-base:latest
FROM ${BASE_IMAGE}
COPY jobs/ /var/task/jobs/
CMD ["jobs.thumbnail.handler"]
