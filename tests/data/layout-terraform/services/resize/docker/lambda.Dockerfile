FROM scratch
COPY services/resize/app.py /var/task/
COPY shared/ /var/task/shared/
CMD ["app.handler"]
