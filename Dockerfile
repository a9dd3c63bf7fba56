# For machines with NVIDIA GPUs and their container toolkit:
#
#     docker build -t vae-lab .
#     mkdir -p data outputs
#     docker run --rm --init --gpus all --user "$(id -u):$(id -g)" -v "$PWD/data:/vae-lab/data" \
#         -v "$PWD/outputs:/vae-lab/outputs" vae-lab python -m src.train data=mnist model=conv
#
# The wheels of PyTorch on PyPI bring CUDA along; the machine has the driver. Versions are those of requirements.lock.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /vae-lab
COPY pyproject.toml requirements.lock ./
RUN pip install 'uv>=0.9,<1' \
    && uv pip install --system --constraint requirements.lock --requirement pyproject.toml \
        --extra export --extra mlflow --extra search --extra sweep --extra tensorboard --extra trackio

# Any user may run it (`--user`), also one without a name or a home there.
RUN useradd --uid 1000 --create-home vae && mkdir data outputs && chmod 777 /home/vae data outputs
ENV HOME=/home/vae USER=vae PYTHONPATH=/vae-lab
COPY . .
USER 1000
CMD ["python", "-m", "src.train", "--help"]
