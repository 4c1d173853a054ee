{{/*
What a Job of the operator's account looks like, as validations of a ValidatingAdmissionPolicy: message and
expression. What the administrator puts into runner.podTemplate is allowed exactly as far as it stands there.
*/}}
{{- define "wan-operator.jobRules" -}}
{{- $template := .Values.runner.podTemplate.spec | default dict -}}
{{- $runner := dict -}}
{{- range $template.containers }}{{ if eq .name "runner" }}{{ $runner = . }}{{ end }}{{ end -}}
{{- $classes := .Values.runner.priorityClassNames -}}
{{- with $template.priorityClassName }}{{ $classes = append $classes . | uniq }}{{ end -}}

- message: this namespace is not served
  expression: request.namespace in {{ toRawJson .Values.generations.namespaces }}
- message: the Job must be owned by one VideoGeneration
  expression: size(variables.owner) == 1 && size(object.metadata.ownerReferences) == 1
- message: the Job must run one pod once
  expression: object.spec.parallelism == 1 && object.spec.completions == 1 && object.spec.backoffLimit == 0
- message: the pod must carry the labels of a runner
  expression: >-
    variables.labels[?'app.kubernetes.io/managed-by'].orValue('') == 'wan-operator' &&
    variables.labels[?'app.kubernetes.io/component'].orValue('') == 'runner'
- message: the pod must hold exactly one container, called runner
  expression: size(variables.pod.containers) == 1 && variables.runner.name == 'runner'
- message: initContainers and ephemeralContainers are not allowed
  expression: "!has(variables.pod.initContainers) && !has(variables.pod.ephemeralContainers)"
- message: {{ printf "the image must be %s" (include "wan-operator.runnerImage" .) | quote }}
  expression: variables.runner.image == {{ include "wan-operator.runnerImage" . | squote }}
- message: the runner must be started by its image's entry point with `run`
  expression: "!has(variables.runner.command) && has(variables.runner.args) && variables.runner.args[0] == 'run'"
- message: envFrom and env.valueFrom are not allowed
  expression: >-
    !has(variables.runner.envFrom) &&
    (!has(variables.runner.env) || variables.runner.env.all(e, !has(e.valueFrom)))
- message: {{ printf "serviceAccountName must be %s, its token not mounted" .Values.runner.serviceAccountName | quote }}
  expression: >-
    has(variables.pod.serviceAccountName) && variables.pod.serviceAccountName == {{ squote .Values.runner.serviceAccountName }} &&
    has(variables.pod.automountServiceAccountToken) && !variables.pod.automountServiceAccountToken
- message: hostNetwork, hostPID and hostIPC are not allowed
  expression: >-
    !variables.pod.?hostNetwork.orValue(false) && !variables.pod.?hostPID.orValue(false) &&
    !variables.pod.?hostIPC.orValue(false)
- message: the runner must be unprivileged, without capabilities, not root
  expression: >-
    variables.pod.?securityContext.?runAsNonRoot.orValue(false) && has(variables.runner.securityContext) &&
    !variables.runner.securityContext.?privileged.orValue(false) &&
    !variables.runner.securityContext.?allowPrivilegeEscalation.orValue(true) &&
    variables.runner.securityContext.?runAsNonRoot.orValue(true) &&
    variables.runner.securityContext.?capabilities.?drop.orValue([]) == ['ALL'] &&
    !has(variables.runner.securityContext.capabilities.add)
- message: the pod asks for a priority class that is not allowed
  expression: >-
    !has(variables.pod.priorityClassName) || variables.pod.priorityClassName in {{ toRawJson $classes }}
- message: the pod has a volume that is not a runner's
  expression: >-
    !has(variables.pod.volumes) || variables.pod.volumes.all(v,
    (v.name == 'task' && has(v.downwardAPI)) ||
    (v.name == 'report-token' && has(v.projected) && v.projected.sources.all(s, has(s.serviceAccountToken) &&
    s.serviceAccountToken.?audience.orValue('').startsWith('wan.video/' + variables.owner[0].uid + '/'))) ||
    {{- include "wan-operator.s3Volumes" .Values.s3 | nindent 4 }}
    {{- if eq .Values.cache.type "emptyDir" }}
    (v.name == 'cache' && has(v.emptyDir)) ||
    {{- else }}
    (v.name == 'cache' && has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == {{ squote .Values.cache.claimName }}) ||
    {{- end }}
    {{- range $template.volumes }}
    {{ include "wan-operator.sameVolume" . }} ||
    {{- end }}
    (v.name == 'scratch' && has(v.emptyDir)))
{{- $podFields := list "nodeName" "hostUsers" "shareProcessNamespace" "hostAliases" "resourceClaims" "runtimeClassName" "imagePullSecrets" "dnsConfig" -}}
{{- range $podFields }}
{{- if not (hasKey $template .) }}
- message: {{ . }} is set, and runner.podTemplate does not name it
  expression: "!has(variables.pod.{{ . }})"
{{- end }}
{{- end }}
{{- range list "lifecycle" "livenessProbe" "readinessProbe" "startupProbe" "volumeDevices" "ports" }}
{{- if not (hasKey $runner .) }}
- message: {{ . }} is set, and runner.podTemplate does not name it
  expression: "!has(variables.runner.{{ . }})"
{{- end }}
{{- end }}
{{- end -}}

{{/* What s3.credentials and s3.caBundle bring, and nothing that they do not. */}}
{{- define "wan-operator.s3Volumes" -}}
{{- if eq .credentials "secret" -}}
(v.name == 's3' && has(v.secret) && v.secret.secretName == {{ squote .secretName }}) ||
{{ else if eq .credentials "webIdentity" -}}
(v.name == 's3-token' && has(v.projected) && v.projected.sources.all(s, has(s.serviceAccountToken) &&
s.serviceAccountToken.?audience.orValue('') == {{ squote .webIdentity.audience }})) ||
{{ end -}}
{{- with .caBundle -}}
{{- if and .name (eq .kind "Secret") -}}
(v.name == 's3-ca' && has(v.secret) && v.secret.secretName == {{ squote .name }}) ||
{{- else if .name -}}
(v.name == 's3-ca' && has(v.configMap) && v.configMap.name == {{ squote .name }}) ||
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A volume of runner.podTemplate: its name, its type, and the object that it reads. */}}
{{- define "wan-operator.sameVolume" -}}
{{- $conditions := list (printf "v.name == %s" (squote .name)) -}}
{{- range $type, $source := omit . "name" -}}
{{- $conditions = append $conditions (printf "has(v.%s)" $type) -}}
{{- range $field, $value := $source -}}
{{- if has $field (list "secretName" "claimName" "name" "path" "driver") -}}
{{- $conditions = append $conditions (printf "v.%s.%s == %s" $type $field (squote $value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
({{ join " && " $conditions }})
{{- end -}}
