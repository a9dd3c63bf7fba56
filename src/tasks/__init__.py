"""Uses of a finished run. Each task is a file or a folder here, and has a file of its options in conf/task/.

    task(run, folder, **options) -> numbers

run: build.Run; folder: an empty one for images and other files, which is removed if the task fails. `numbers` map a
name to a number, a string, an Estimate (a mean with its standard error) or an Interval; a row of a table maps its
columns to them. src/apply.py shows them on the console and writes them to metrics.json and to W&B, where they are
called `name`, `name_se`, `name_low` and `row/column`. Types and ranges of the options are in their annotations and
checked beforehand; what depends on the run is checked by the task, which raises UserError before anything takes long.
"""
