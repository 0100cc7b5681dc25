#!/bin/sh
#SBATCH --job-name napari-synth
#SBATCH --cpus-per-task 4
#SBATCH --mem 16G
#SBATCH --time 4:00:00
#SBATCH --requeue
# A job that is stopped is put back into the queue and goes on with what is left.
set -eu
napari-synth run recipe.yaml 'in/*.tif' out --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" --quiet
