#!/bin/sh
# One recipe on many images, in shards: an array of jobs, and one that joins them.
set -eu
SHARDS=${SHARDS:-4}
here=$(dirname "$0")
array=$(SHARDS=$SHARDS sbatch --parsable --array "0-$((SHARDS - 1))" --export ALL "$here/shard.sh")
sbatch --dependency "afterok:$array" --wrap "napari-synth finish out"
