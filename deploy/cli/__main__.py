"""`python -m deploy.cli` is `otb`."""

from deploy.cli.main import main

if __name__ == "__main__":
    main()
