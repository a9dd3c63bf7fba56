"""What a finished run is for: one file and one file of options (conf/task/) a task.

    task(run, folder, **options) -> numbers

run: build.Run; folder: an empty one, for pictures and files, which is kept only if the task succeeds. `numbers` go to
metrics.json, a table on the console and W&B: `name` -> a number, `name_se` its standard error; names with slashes,
`row/column`, make a table of their own. Types and ranges of the options stand in their annotations, and are checked
beforehand; what only the run can tell is a UserError, raised before anything takes long.
"""
