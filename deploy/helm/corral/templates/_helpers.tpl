{{- define "corral.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "corral.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "corral.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "corral.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "corral.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "corral.secretName" -}}
{{ .Values.existingSecret | default (include "corral.name" .) }}
{{- end }}

{{- /* The keys of the Secret, one a line. */ -}}
{{- define "corral.secretKeys" -}}
secret
{{- if .Values.existingSecret }}
{{- range .Values.existingSecretKeys }}
{{ . }}
{{- end }}
{{- else }}
{{- if .Values.databaseUrl }}
database-url
{{- end }}
{{- if .Values.directDatabaseUrl }}
direct-database-url
{{- end }}
{{- if .Values.redisUrl }}
redis-url
{{- end }}
{{- end }}
{{- end }}

{{- /* "yes" where what is kept lies in a database, "" where on the pod's own volume. */ -}}
{{- define "corral.shared" -}}
{{- if has "database-url" (splitList "\n" (include "corral.secretKeys" .)) }}yes{{ end }}
{{- end }}

{{- define "corral.checked" -}}
{{- if not (include "corral.shared" .) }}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
{{- fail "several replicas share one database: set databaseUrl, or existingSecret with a key database-url; without it replicas must be 1 and autoscaling off" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "corral.config" -}}
{{- $nodes := list }}
{{- range .Values.nodes }}
{{- if kindIs "string" . }}{{ $nodes = append $nodes (dict "url" .) }}{{ else }}{{ $nodes = append $nodes . }}{{ end }}
{{- end }}
{{- $config := deepCopy .Values.config }}
{{- $fleet := set (get $config "fleet" | default dict) "nodes" $nodes }}
{{- toYaml (set $config "fleet" $fleet) }}
{{- end }}
