/** What KEDA sends with every call: which object it scales, and the `metadata` of its trigger. */
export interface ScaledObject {
  readonly name: string
  readonly namespace: string
  readonly metadata: Readonly<Record<string, string>>
}

/** One metric of a scaled object: Kubernetes wants `ceil(value / targetPerReplica)` replicas. */
export interface ScaledMetric {
  readonly name: string
  readonly value: number
  readonly targetPerReplica: number
}

/** `ScaledObjectRef` as the gRPC library gives it: absent fields are ''. */
export interface ScaledObjectRef {
  readonly name: string
  readonly namespace: string
  readonly scalerMetadata: Readonly<Record<string, string>>
}

/** `GetMetricsRequest`; the reference may be absent. */
export interface MetricsRequest {
  readonly scaledObjectRef: ScaledObjectRef | null
  readonly metricName: string
}

/** `IsActiveResponse`. */
export interface ActiveAnswer {
  readonly result: boolean
}

/** `GetMetricSpecResponse`. */
export interface SpecAnswer {
  readonly metricSpecs: readonly {
    readonly metricName: string
    readonly targetSize: number
    readonly targetSizeFloat: number
  }[]
}

/** `GetMetricsResponse`. */
export interface ValuesAnswer {
  readonly metricValues: readonly {
    readonly metricName: string
    readonly metricValue: number
    readonly metricValueFloat: number
  }[]
}

/** The object behind a reference; null stands for one that was not sent. */
export function objectOf(ref: ScaledObjectRef | null): ScaledObject {
  return { name: ref?.name ?? '', namespace: ref?.namespace ?? '', metadata: ref?.scalerMetadata ?? {} }
}

/** Targets; the integer field is for older versions of KEDA, and rounds up so that it never asks for more than is meant. */
export function specsOf(metrics: readonly ScaledMetric[]): SpecAnswer {
  return {
    metricSpecs: metrics.map(({ name, targetPerReplica }) => ({
      metricName: name,
      targetSize: Math.max(1, Math.ceil(targetPerReplica)),
      targetSizeFloat: targetPerReplica,
    })),
  }
}

/** Values; the integer field rounds up, so that an older KEDA asks for no less than is meant. */
export function valuesOf(metrics: readonly ScaledMetric[]): ValuesAnswer {
  return {
    metricValues: metrics.map(({ name, value }) => ({
      metricName: name,
      metricValue: Math.ceil(value),
      metricValueFloat: value,
    })),
  }
}
