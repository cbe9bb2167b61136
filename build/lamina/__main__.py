"""``python -m lamina``: the ``lamina`` command."""

from lamina.tasks.program import main

if __name__ == "__main__":
    main()
