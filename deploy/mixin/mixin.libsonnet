// Midwatch's monitoring mixin. The dashboards are written by: midwatch grafana export deploy/mixin/dashboards
{
  _config+:: {
    // Leave the incidents out where verdicts reach Alertmanager by Midwatch's own sinks.
    pageByPrometheus: true,
  },

  local groups(file) = std.parseYaml(file).groups,

  prometheusRules+:: {
    groups+: groups(importstr '../prometheus/rules/recording.yml'),
  },

  prometheusAlerts+:: {
    groups+:
      groups(importstr '../prometheus/rules/engine.yml')
      + groups(importstr '../prometheus/rules/chargeback.yml')
      + groups(importstr '../prometheus/rules/judge.yml')
      + (if $._config.pageByPrometheus then groups(importstr '../prometheus/rules/incidents.yml') else []),
  },

  grafanaDashboards+:: {
    'midwatch-signals.json': import 'dashboards/midwatch-signals.json',
    'midwatch-verdicts.json': import 'dashboards/midwatch-verdicts.json',
    'midwatch-engine.json': import 'dashboards/midwatch-engine.json',
    'midwatch-judge.json': import 'dashboards/midwatch-judge.json',
  },
}
