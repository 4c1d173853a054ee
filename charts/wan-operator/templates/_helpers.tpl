{{- define "wan-operator.name" -}}
{{- .Values.fullnameOverride | default .Chart.Name -}}
{{- end -}}

{{- define "wan-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "wan-operator.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels of every runner's pod: PART_LABELS of wan_operator.cluster.names. */}}
{{- define "wan-operator.runnerLabels" -}}
app.kubernetes.io/managed-by: wan-operator
app.kubernetes.io/component: runner
{{- end -}}

{{/* One image: by digest if there is one, else by tag. Takes (image, default tag). */}}
{{- define "wan-operator.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end -}}

{{- define "wan-operator.runnerImage" -}}
{{- include "wan-operator.image" (list .Values.runner.image .Chart.AppVersion) -}}
{{- end -}}

{{- define "wan-operator.reportUrl" -}}
{{- $service := printf "http://%s-report.%s.svc:%d/v1/progress" (include "wan-operator.name" .) .Release.Namespace (int .Values.report.port) -}}
{{- .Values.report.url | default $service -}}
{{- end -}}

{{/* What a container of ours is refused: everything. */}}
{{- define "wan-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Fails where values cannot work together. */}}
{{- define "wan-operator.check" -}}
{{- if not .Values.weights -}}
{{- fail "weights is not set: say where published models lie, for example --set weights=s3://my-weights" -}}
{{- end -}}
{{- if not .Values.output -}}
{{- fail "output is not set: say where videos go, for example --set output=s3://my-videos" -}}
{{- end -}}
{{- if has .Release.Namespace .Values.generations.namespaces -}}
{{- fail (printf "generations.namespaces names %s, where the operator itself is installed: runners belong elsewhere" .Release.Namespace) -}}
{{- end -}}
{{- if and (eq .Values.cache.type "node") (has .Values.cache.node.namespace (append .Values.generations.namespaces .Release.Namespace)) -}}
{{- fail (printf "cache.node.namespace: %s is privileged, so nothing else may live there" .Values.cache.node.namespace) -}}
{{- end -}}
{{- if and (eq .Values.s3.credentials "webIdentity") (not .Values.s3.webIdentity.roleArn) -}}
{{- fail "s3.webIdentity.roleArn is not set: say which role runners take, or choose other s3.credentials" -}}
{{- end -}}
{{- include "wan-operator.checkPodTemplate" . -}}
{{- end -}}

{{/* Fails where runner.podTemplate asks for what a runner never has: its Jobs would all be refused. */}}
{{- define "wan-operator.checkPodTemplate" -}}
{{- $spec := .Values.runner.podTemplate.spec | default dict -}}
{{- range list "initContainers" "ephemeralContainers" "hostNetwork" "hostPID" "hostIPC" "nodeName" "serviceAccountName" -}}
{{- if hasKey $spec . }}{{ fail (printf "runner.podTemplate.spec.%s is not for you to set" .) }}{{ end -}}
{{- end -}}
{{- range $container := $spec.containers -}}
{{- if ne $container.name "runner" }}{{ fail (printf "runner.podTemplate.spec.containers: %s; the only container is runner" $container.name) }}{{ end -}}
{{- range list "command" "args" "image" "envFrom" -}}
{{- if hasKey $container . }}{{ fail (printf "runner.podTemplate.spec.containers: %s of runner is not for you to set" .) }}{{ end -}}
{{- end -}}
{{- range $container.env -}}
{{- if hasKey . "valueFrom" }}{{ fail (printf "runner.podTemplate.spec.containers: env %s of runner must have a value" .name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $spec.volumes -}}
{{- if has .name (list "task" "report-token" "s3" "s3-token" "s3-ca" "cache" "scratch") }}{{ fail (printf "runner.podTemplate.spec.volumes: %s is the operator's own" .name) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* wan_operator.cluster.settings.S3Settings as YAML: only what is set. */}}
{{- define "wan-operator.s3Settings" -}}
{{- $given := .Values.s3 -}}
{{- $s3 := pick $given "region" "credentials" "secretName" -}}
{{- range list "endpointUrl" "addressingStyle" "anonymousBuckets" -}}
{{- if index $given . }}{{ $_ := set $s3 . (index $given .) }}{{ end -}}
{{- end -}}
{{- if eq $given.credentials "webIdentity" -}}
{{- $identity := pick $given.webIdentity "roleArn" "audience" -}}
{{- with $given.webIdentity.stsEndpointUrl }}{{ $_ := set $identity "stsEndpointUrl" . }}{{ end -}}
{{- $_ := set $s3 "webIdentity" $identity -}}
{{- end -}}
{{- if $given.caBundle.name }}{{ $_ := set $s3 "caBundle" $given.caBundle }}{{ end -}}
{{- if $given.proxy.url }}{{ $_ := set $s3 "proxy" $given.proxy }}{{ end -}}
{{- toYaml $s3 -}}
{{- end -}}

{{/* wan_operator.cluster.settings.ClusterSettings as YAML. */}}
{{- define "wan-operator.settings" -}}
{{- include "wan-operator.check" . -}}
{{- $v := .Values -}}
{{- $cache := dict "type" (ternary "emptyDir" "claim" (eq $v.cache.type "emptyDir")) -}}
{{- if ne $v.cache.type "emptyDir" }}{{ $_ := set $cache "claimName" $v.cache.claimName }}{{ end -}}
{{- with ternary $v.cache.node.size $v.cache.sizeLimit (eq $v.cache.type "node") }}{{ $_ := set $cache "sizeLimit" . }}{{ end -}}
{{- $runner := dict
  "image" (include "wan-operator.runnerImage" .)
  "imagePullPolicy" $v.runner.image.pullPolicy
  "serviceAccountName" $v.runner.serviceAccountName
  "gracePeriodS" $v.runner.terminationGracePeriodSeconds
  "runAsUser" $v.runner.runAsUser
  "cpu" $v.runner.cpu
  "hostOverheadGib" $v.runner.hostOverheadGib
  "podTemplate" $v.runner.podTemplate
  "priorityClassNames" $v.runner.priorityClassNames
-}}
{{- $api := dict
  "writesPerSecond" $v.api.writesPerSecond
  "writeBurst" $v.api.writeBurst
  "workers" $v.api.workers
  "resyncS" $v.api.resyncSeconds
-}}
{{- dict
  "namespaces" $v.generations.namespaces
  "weights" $v.weights
  "output" $v.output
  "imageBuckets" $v.imageBuckets
  "s3" (include "wan-operator.s3Settings" . | fromYaml)
  "cache" $cache
  "runner" $runner
  "inventory" $v.inventory
  "models" $v.models
  "planning" $v.planning
  "report" (dict "port" $v.report.port "url" (include "wan-operator.reportUrl" .))
  "api" $api
  "healthPort" $v.healthPort
  "logLevel" $v.logLevel
  "stallAfterS" $v.stallAfterSeconds
  | toYaml -}}
{{- end -}}
