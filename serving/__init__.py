"""The big screen: one page that follows the live figures, and a read-only JSON API.

`picture` holds the figures, `feed` brings them from Redis, `pages` sends them to whoever looks, `beside` asks what is
slower (HBase, Kafka, Flink), `silence` says what kind of silence it is and `gaps` what is missing, `api` answers
questions about days, `app` puts it together. It imports readers and settings of `flink_jobs` and never a job; nothing
there imports it but the command `samewater serve`.
"""
