FROM scratch
COPY shared/ /var/task/shared/
