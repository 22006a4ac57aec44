{{- range . }}{{ $object := .Object }}{{ if not .Valid }}invalid {{ $object }} {{ .Message }}
{{ end }}{{ range .Scoring.Critical }}{{ .ID }} {{ $object }} {{ .Reason }}
{{ end }}{{ range .Scoring.Advise }}{{ .ID }} {{ $object }} {{ .Reason }}
{{ end }}{{ end -}}
