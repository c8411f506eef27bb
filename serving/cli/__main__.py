"""`python -m serving.cli`: the same as `huaxiang`."""

from serving.cli import main

main()
