"""What a stage, a kind of training, says of itself (`contract`), and how it is found by its name (`finding`)."""
