ARG ORG=myorg/python
ARG SYSTEM=myorg/system

FROM ${ORG} AS org

FROM ${SYSTEM}
COPY --from=org /opt/myorg /opt/myorg
# The way to a newer Python: the other one is here already.
ARG PYTHON=3.11
ENV PATH=/opt/myorg/venv${PYTHON}/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY app.py ./
USER 65532:65532
EXPOSE 8080
CMD ["python", "app.py"]
