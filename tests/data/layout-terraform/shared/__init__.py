def size(event):
    return len(event)
