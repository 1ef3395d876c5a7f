/** Instances that carry a load, and what that costs against `now`: an instance 1, load that none carries 5 each. */
export function sizeFor(load: number, now: number, perInstance: number) {
  const costOf = (instances: number) => instances + 5 * Math.max(0, load / perInstance - instances)
  const instances = Math.max(1, Math.ceil(load / perInstance))
  return { instances, costNow: costOf(now), costAfter: costOf(instances) }
}
