{{- define "mcp-auditor.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mcp-auditor.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mcp-auditor.labels" -}}
{{ include "mcp-auditor.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "mcp-auditor.probe" -}}
port: metrics
{{- if .Values.hostNetwork }}
host: 127.0.0.1
{{- end }}
{{- end -}}

{{- define "mcp-auditor.config" -}}
{{- if .Values.hostNetwork }}
metrics = "127.0.0.1:{{ .Values.metrics.port }}"
{{- else }}
metrics = "0.0.0.0:{{ .Values.metrics.port }}"
metrics_to_others = true
{{- end }}
{{ .Values.config }}
{{- if not (contains "[kubernetes]" .Values.config) }}
[kubernetes]
in_cluster = true
{{- end }}
{{- end -}}
