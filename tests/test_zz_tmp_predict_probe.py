import time,sys
from pathlib import Path
import pytest
def test_x(tiny_config, tmp_path):
    import src.train
    m=src.train.run(tiny_config())
    import mlflow, os
    from mlflow.models import Model
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"]="false"
    u=f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.set_tracking_uri(u)
    t=time.time()
    p=mlflow.artifacts.download_artifacts("models:/tiny/1", dst_path=str(tmp_path/"dl"))
    print(p, time.time()-t)
    print(Model.load(p).flavors)
    for f in sorted(Path(p).rglob("*")): print(f)
    for a in ["models:/tiny/7","models:/none/1","models:/tiny","models:/tiny@best","models:/tiny/latest", "models:/", "models:/a/b/c/d"]:
        try: print(a, mlflow.artifacts.download_artifacts(a, dst_path=str(tmp_path/"dl2")))
        except Exception as e: print(a, type(e), e)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]="1"; mlflow.set_tracking_uri("http://127.0.0.1:9")
    t=time.time()
    try: mlflow.artifacts.download_artifacts("models:/tiny/1", dst_path=str(tmp_path/"dl3"))
    except Exception as e: print(type(e), str(e)[:300], time.time()-t)
