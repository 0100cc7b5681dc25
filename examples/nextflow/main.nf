// One recipe on many images, in shards: nextflow run main.nf --shards 4
params.shards = 4
params.recipe = "recipe.yaml"
params.images = "in/*.tif"
params.out = "out"

process shard {
    maxRetries 3
    errorStrategy { task.exitStatus in [130, 137, 143] ? 'retry' : 'terminate' }

    input:
    val index

    output:
    val index

    script:
    """
    cd ${launchDir}
    napari-synth run ${params.recipe} '${params.images}' ${params.out} --shard ${index}/${params.shards} --quiet
    """
}

process finish {
    input:
    val indices

    script:
    """
    cd ${launchDir}
    napari-synth finish ${params.out}
    """
}

workflow {
    finish(shard(Channel.of(0..params.shards - 1)).collect())
}
