import {
  addOffsetsToTxnV3,
  addPartitionsToTxnV3,
  apiVersionsV3,
  createTopicsV7,
  deleteGroupsV2,
  deleteTopicsV6,
  endTxnV3,
  findCoordinatorV4,
  heartbeatV4,
  initProducerIdV4,
  joinGroupV7,
  joinGroupV9,
  leaveGroupV4,
  listOffsetsV7,
  listOffsetsV8,
  metadataV10,
  metadataV11,
  metadataV12,
  offsetFetchV8,
  syncGroupV5,
  txnOffsetCommitV3,
} from '@platformatic/kafka'
import type { API, Connection } from '@platformatic/kafka'

/** One version of one request: `async` sends it on a connection. */
export type Api<Arguments extends unknown[], Response> = API<Arguments, Response>

/** Brokers and topics of a cluster. */
export type MetadataResponse = Awaited<ReturnType<typeof metadataV12.api.async>>

/** Asks a broker which versions of each request it speaks. */
export const apiVersions = (connection: Connection) =>
  apiVersionsV3.api.async(connection, 'forestall', '0.1.0')

/**
 * The versions that we send, newest first. Pinned by hand, because newer ones change meaning:
 * AddPartitionsToTxn above v3 is refused on clusters with ACLs, EndTxn v5 bumps the epoch,
 * OffsetFetch above v8 wants the new group protocol. All exist from Kafka 3.0 on.
 */
export const APIS = {
  metadata: [metadataV12.api, metadataV11.api, metadataV10.api],
  findCoordinator: [findCoordinatorV4.api],
  heartbeat: [heartbeatV4.api],
  joinGroup: [joinGroupV9.api, joinGroupV7.api],
  syncGroup: [syncGroupV5.api],
  leaveGroup: [leaveGroupV4.api],
  listOffsets: [listOffsetsV8.api, listOffsetsV7.api],
  offsetFetch: [offsetFetchV8.api],
  initProducerId: [initProducerIdV4.api],
  addPartitionsToTxn: [addPartitionsToTxnV3.api],
  addOffsetsToTxn: [addOffsetsToTxnV3.api],
  txnOffsetCommit: [txnOffsetCommitV3.api],
  endTxn: [endTxnV3.api],
  createTopics: [createTopicsV7.api],
  deleteTopics: [deleteTopicsV6.api],
  deleteGroups: [deleteGroupsV2.api],
} as const
