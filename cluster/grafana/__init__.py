"""What Grafana and Prometheus are given: dashboards, rules and where to look, made from the table of metrics."""
