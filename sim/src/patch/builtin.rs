//! How the lists and objects of the built-in kinds are merged: the markers `listType`, `listMapKey`, `mapType` and `patchMergeKey` of `k8s.io/api` 1.33.

/// Types and their fields; a kind is the type of its name, or of its name and version. Left out is what is plain: objects that are merged
/// field by field, lists that are replaced, scalars.
///
/// | notation | meaning |
/// | --- | --- |
/// | `Name` | an object of that type |
/// | `@` | an object that is replaced as a whole (`mapType=atomic`) |
/// | `@~` | the same, and replaced by a strategic merge patch too (`patchStrategy:"replace"`) |
/// | `%Name` | a map of such objects |
/// | `{}` | a set of scalars; `{}+` if a strategic merge patch adds to it |
/// | `[a,b:x]Name` | a list of objects with these keys, of which `b` defaults to `x`; a single key is the `patchMergeKey` too |
/// | `[…]~a`, `[]~a` | a list whose `patchMergeKey` differs; nothing after `~` if it has none |
/// | `!…` | in Go a value and no pointer, or not `omitempty`: there even where nobody gave it |
/// | `!null` | a scalar of that sort |
/// | `-` | maintained by the API server, and not looked at |
pub(super) const TABLE: &str = "
Object metadata=!RootMeta spec=!Any status=!Any
RootMeta managedFields=- ownerReferences=[uid]@ finalizers={}+ creationTimestamp=!null
Meta ownerReferences=[uid]@ finalizers={}+ creationTimestamp=!null
Conditions conditions=[type]
PlainConditions conditions=[type]~

Pod metadata=!RootMeta spec=!PodSpec status=!PodStatus
PodTemplate metadata=!RootMeta template=!Template
Template metadata=!Meta spec=!PodSpec
PodSpec containers=![name]Container initContainers=[name]Container ephemeralContainers=[name]Container
PodSpec volumes=[name]Volume imagePullSecrets=[name]@ hostAliases=[ip] nodeSelector=@ affinity=Affinity
PodSpec topologySpreadConstraints=[topologyKey,whenUnsatisfiable]Spread~topologyKey resourceClaims=[name] schedulingGates=[name]
PodStatus conditions=[type] podIPs=[ip] hostIPs=[]~ip resourceClaimStatuses=[name]
Container env=[name]Env ports=[containerPort,protocol:TCP]~containerPort volumeMounts=[mountPath] volumeDevices=[devicePath]
Container resources=!Resources
Resources claims=[name]~
Env valueFrom=EnvSource
EnvSource configMapKeyRef=@ secretKeyRef=@ fieldRef=@ resourceFieldRef=@
Affinity nodeAffinity=NodeAffinity
NodeAffinity requiredDuringSchedulingIgnoredDuringExecution=@
Spread labelSelector=@
Volume cephfs=WithSecret csi=CsiVolume flexVolume=WithSecret iscsi=WithSecret rbd=WithSecret scaleIO=WithSecret storageos=WithSecret
Volume ephemeral=EphemeralVolume
WithSecret secretRef=@
CsiVolume nodePublishSecretRef=@
EphemeralVolume volumeClaimTemplate=ClaimTemplate
ClaimTemplate metadata=!Meta spec=!ClaimSpec

Deployment metadata=!RootMeta spec=!DeploymentSpec status=!Conditions
DeploymentSpec selector=@ strategy=!Any template=!Template
StatefulSet metadata=!RootMeta spec=!StatefulSetSpec status=!Conditions
StatefulSetSpec selector=@ updateStrategy=!Any template=!Template
DaemonSet metadata=!RootMeta spec=!DaemonSetSpec status=!Conditions
DaemonSetSpec selector=@ updateStrategy=!Any template=!Template
ReplicaSet metadata=!RootMeta spec=!ReplicaSetSpec status=!Conditions
ReplicaSetSpec selector=@ template=!Template
ReplicationController metadata=!RootMeta spec=!ReplicationControllerSpec status=!Conditions
ReplicationControllerSpec selector=@ template=Template
Job metadata=!RootMeta spec=!JobSpec status=!JobStatus
JobSpec selector=@ template=!Template podFailurePolicy=Any
JobStatus conditions=[]~type uncountedTerminatedPods=Uncounted
Uncounted failed={} succeeded={}
CronJob metadata=!RootMeta spec=!CronJobSpec status=!Any
CronJobSpec jobTemplate=!JobTemplate
JobTemplate metadata=!Meta spec=!JobSpec

Service metadata=!RootMeta spec=!ServiceSpec status=!ServiceStatus
ServiceSpec ports=[port,protocol:TCP]~port selector=@
ServiceStatus conditions=[type] loadBalancer=!Any
ServiceAccount metadata=!RootMeta secrets=[name]@
Namespace metadata=!RootMeta spec=!Any status=!Conditions
Node metadata=!RootMeta spec=!NodeSpec status=!NodeStatus
NodeSpec podCIDRs={}+
NodeStatus conditions=[type] addresses=[type] nodeInfo=!Any daemonEndpoints=!DaemonEndpoints
DaemonEndpoints kubeletEndpoint=!Any
PersistentVolume metadata=!RootMeta spec=!VolumeSpec status=!Any
VolumeSpec nodeAffinity=VolumeAffinity csi=CsiPersistent cephfs=WithSecret flexVolume=WithSecret iscsi=WithSecret rbd=WithSecret
VolumeSpec scaleIO=WithSecret storageos=WithSecret
VolumeAffinity required=@
CsiPersistent controllerPublishSecretRef=@ nodeStageSecretRef=@ nodePublishSecretRef=@ controllerExpandSecretRef=@ nodeExpandSecretRef=@
PersistentVolumeClaim metadata=!RootMeta spec=!ClaimSpec status=!Conditions
ClaimSpec selector=@ dataSource=@ resources=!Any
ResourceQuota metadata=!RootMeta spec=!ResourceQuotaSpec status=!Any
ResourceQuotaSpec scopeSelector=@
ComponentStatus metadata=!RootMeta conditions=[type]
Event metadata=!RootMeta involvedObject=!@ regarding=!@ related=@ source=!Any deprecatedSource=!Any

ClusterRoleBinding metadata=!RootMeta roleRef=!@
RoleBinding metadata=!RootMeta roleRef=!@

NetworkPolicy metadata=!RootMeta spec=!NetworkPolicySpec
NetworkPolicySpec podSelector=!@
Ingress metadata=!RootMeta spec=!IngressSpec status=!IngressStatus
IngressSpec defaultBackend=Backend
IngressStatus loadBalancer=!Any
Backend resource=@ service=BackendService
BackendService port=!@
ServiceCIDR metadata=!RootMeta spec=!Any status=!Conditions
HorizontalPodAutoscaler metadata=!RootMeta spec=!AutoscalerSpec status=!Conditions
AutoscalerSpec scaleTargetRef=!Any
HorizontalPodAutoscaler/v1 metadata=!RootMeta spec=!AutoscalerSpecV1 status=!Any
AutoscalerSpecV1 scaleTargetRef=!@
PodDisruptionBudget metadata=!RootMeta spec=!DisruptionSpec status=!Conditions
DisruptionSpec selector=@~

MutatingWebhookConfiguration metadata=!RootMeta webhooks=[name]Webhook
ValidatingWebhookConfiguration metadata=!RootMeta webhooks=[name]Webhook
Webhook clientConfig=!Any matchConditions=[name] namespaceSelector=@ objectSelector=@
ValidatingAdmissionPolicy metadata=!RootMeta spec=!PolicySpec status=!PlainConditions
PolicySpec matchConstraints=@ paramKind=@ matchConditions=[name] variables=[name]@
ValidatingAdmissionPolicyBinding metadata=!RootMeta spec=!BindingSpec
BindingSpec matchResources=@ paramRef=@ validationActions={}
CertificateSigningRequest metadata=!RootMeta spec=!SigningSpec status=!PlainConditions
SigningSpec extra=%Any
CustomResourceDefinition metadata=!RootMeta spec=!DefinitionSpec status=!DefinitionStatus
DefinitionSpec names=!Any
DefinitionStatus conditions=[type]~ acceptedNames=!Any
APIService metadata=!RootMeta spec=!Any status=!Conditions
FlowSchema metadata=!RootMeta spec=!Any status=!Conditions
PriorityLevelConfiguration metadata=!RootMeta spec=!Any status=!Conditions
CSINode metadata=!RootMeta spec=!NodeDrivers
NodeDrivers drivers=![name]
CSIDriver metadata=!RootMeta spec=!DriverSpec
DriverSpec volumeLifecycleModes={}
RuntimeClass metadata=!RootMeta scheduling=Scheduling
Scheduling nodeSelector=@
";
