"""What teams build otherwise: the same durable accept on FastAPI with Celery, and on FastAPI with plain arq."""
