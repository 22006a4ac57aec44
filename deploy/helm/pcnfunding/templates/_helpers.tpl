{{/* Names. */}}
{{- define "pcnfunding.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "pcnfunding.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Labels that select, and labels that tell. Both take (dict "root" $ "name" "register"). */}}
{{- define "pcnfunding.selector" -}}
app.kubernetes.io/name: pcnfunding
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "pcnfunding.labels" -}}
{{ include "pcnfunding.selector" . }}
app.kubernetes.io/part-of: pcnfunding
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Who calls whom: the services that a process calls, as a JSON list. It gives addresses and NetworkPolicies alike. */}}
{{- define "pcnfunding.calls" -}}
{{- if eq . "gateway" }}{{ list "register" "core" "arrs" "iif" "devfund" "activity" "payments" "partners" | toJson }}
{{- else if eq . "month-close" }}{{ list "register" "core" "arrs" "iif" "devfund" "payments" | toJson }}
{{- else if has . (list "core" "arrs" "iif" "devfund" "activity" "payments" "partners") }}{{ list "register" | toJson }}
{{- else }}{{ list | toJson }}{{ end }}
{{- end }}

{{/* The settings of a service: its own over the defaults. */}}
{{- define "pcnfunding.settings" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (get .root.Values.services .name | default dict)) | toJson }}
{{- end }}

{{/* What Pod Security restricted asks of a pod, and of a container. */}}
{{- define "pcnfunding.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "pcnfunding.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
{{- end }}

{{/* The garbage collector keeps to nine tenths of what the container may have, so that a peak is collected and not killed. */}}
{{- define "pcnfunding.memoryLimit" -}}
{{ div (mul (trimSuffix "Mi" . | int) 9) 10 }}MiB
{{- end }}

{{/* Arguments of whoever speaks to a service by gRPC. */}}
{{- define "pcnfunding.tlsArgs" -}}
{{- if eq .Values.tls.mode "mesh" }}
- --insecure-plaintext
{{- else }}
- --tls-cert-file=/etc/pcnfunding/tls/tls.crt
- --tls-key-file=/etc/pcnfunding/tls/tls.key
- --tls-ca-file=/etc/pcnfunding/tls/ca.crt
- --tls-trust-domain={{ .Values.tls.trustDomain }}
{{- end }}
{{- end }}

{{/* The Secret with a certificate, as a source of a projected volume. Takes root and name. */}}
{{- define "pcnfunding.tlsSource" -}}
{{- if ne .root.Values.tls.mode "mesh" }}
- secret:
    name: {{ include "pcnfunding.fullname" .root }}-{{ .name }}-tls
    items:
      - {key: tls.crt, path: tls/tls.crt}
      - {key: tls.key, path: tls/tls.key}
      - {key: ca.crt, path: tls/ca.crt}
{{- end }}
{{- end }}

{{/* Authorities of the operator's own, as a source of a projected volume. The image's public ones stay trusted: they are found by folder. */}}
{{- define "pcnfunding.trustSource" -}}
{{- with .Values.trust.caSecret }}
- secret:
    name: {{ . }}
    items: [{key: ca.crt, path: trust/ca.crt}]
{{- end }}
{{- end }}

{{/* What every process is told by its environment. */}}
{{- define "pcnfunding.env" -}}
- {name: PCN_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
{{- if .Values.trust.caSecret }}
- {name: SSL_CERT_FILE, value: /etc/pcnfunding/trust/ca.crt}
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: {{ printf "service.instance.id=$(POD_NAME),k8s.pod.name=$(POD_NAME),k8s.namespace.name=%s" .Release.Namespace | quote }}}
{{- range $name, $value := .Values.telemetry.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
