{{/* What one service is told. Both take (dict "root" $ "name" "register" "settings" …). */}}
{{- define "pcnfunding.serveArgs" -}}
{{- $values := .root.Values -}}
{{- $fullname := include "pcnfunding.fullname" .root -}}
- serve
- {{ .name }}
- --http=:8080
{{- if eq .name "gateway" }}
- --ops=:9091
{{- else }}
- --grpc=:9090
- --no-migrate
- --nats={{ $values.nats.url }}
- --nats-replicas={{ $values.nats.replicas }}
{{- if $values.nats.maxBytes }}
- --nats-max-bytes={{ int64 $values.nats.maxBytes }}
{{- end }}
- --nats-creds=/etc/pcnfunding/nats/service.creds
{{- if $values.nats.caSecret }}
- --nats-ca-file=/etc/pcnfunding/nats/ca.crt
{{- end }}
{{- if $values.nats.clientCertificateSecret }}
- --nats-cert-file=/etc/pcnfunding/nats/tls.crt
- --nats-key-file=/etc/pcnfunding/nats/tls.key
{{- end }}
{{- end }}
- --data-dir=/tmp
- --drain-notice=5s
- --rate-limit={{ int $values.rateLimit }}
- --oidc-issuer={{ $values.oidc.issuer }}
- --oidc-audience={{ $values.oidc.audience }}
{{- include "pcnfunding.tlsArgs" .root }}
{{- range include "pcnfunding.calls" .name | fromJsonArray }}
- --{{ . }}-address=dns:///{{ $fullname }}-{{ . }}:9090
{{- end }}
{{- if eq .name "register" }}
- --reminder-days={{ $values.reminderDays | join "," }}
{{- else if eq .name "arrs" }}
- --person-key-file=/etc/pcnfunding/keys/person.key
{{- else if and (eq .name "payments") $values.keys.accountsSecret }}
- --accounts-file=/etc/pcnfunding/keys/accounts.csv
{{- else if eq .name "partners" }}
- --webhook-key-file=/etc/pcnfunding/keys/webhook.key
- --nats-account-key-file=/etc/pcnfunding/nats/partners.key
- --nats-system-creds=/etc/pcnfunding/nats/system.creds
{{- end }}
{{- with .settings.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The secrets that one service sees: of each Secret only its own keys. */}}
{{- define "pcnfunding.serveSources" -}}
{{- $values := .root.Values }}
{{- include "pcnfunding.tlsSource" . }}
{{- include "pcnfunding.trustSource" .root }}
{{- if ne .name "gateway" }}
- secret:
    name: {{ $values.nats.credentialsSecret }}
    items: [{key: {{ .name }}.creds, path: nats/service.creds}]
{{- with $values.nats.caSecret }}
- secret:
    name: {{ . }}
    items: [{key: ca.crt, path: nats/ca.crt}]
{{- end }}
{{- with $values.nats.clientCertificateSecret }}
- secret:
    name: {{ . }}
    items: [{key: tls.crt, path: nats/tls.crt}, {key: tls.key, path: nats/tls.key}]
{{- end }}
{{- end }}
{{- if eq .name "arrs" }}
- secret:
    name: {{ $values.keys.personSecret }}
    items: [{key: person.key, path: keys/person.key}]
{{- else if and (eq .name "payments") $values.keys.accountsSecret }}
- secret:
    name: {{ $values.keys.accountsSecret }}
    items: [{key: accounts.csv, path: keys/accounts.csv}]
{{- else if eq .name "partners" }}
- secret:
    name: {{ $values.keys.webhookSecret }}
    items: [{key: webhook.key, path: keys/webhook.key}]
- secret:
    name: {{ $values.nats.authoritySecret }}
    items: [{key: partners.key, path: nats/partners.key}, {key: system.creds, path: nats/system.creds}]
{{- end }}
{{- end }}
