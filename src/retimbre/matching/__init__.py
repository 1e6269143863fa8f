"""Train a stage on what the stage before it really produces: misfit, plan, run, verdict."""
