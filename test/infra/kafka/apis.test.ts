import { expect, test } from 'vitest'
import { APIS } from '../../../infra/kafka/apis.ts'

// Newer versions change meaning (see apis.ts): a library update must not move them unnoticed.
test('the versions of the requests are pinned', () => {
  const versions = Object.entries(APIS).map(([name, list]) => [name, list.map((api) => api.version)])
  expect(Object.fromEntries(versions)).toEqual({
    metadata: [12, 11, 10],
    findCoordinator: [4],
    heartbeat: [4],
    joinGroup: [9, 7],
    syncGroup: [5],
    leaveGroup: [4],
    listOffsets: [8, 7],
    offsetFetch: [8],
    initProducerId: [4],
    addPartitionsToTxn: [3],
    addOffsetsToTxn: [3],
    txnOffsetCommit: [3],
    endTxn: [3],
    createTopics: [7],
    deleteTopics: [6],
    deleteGroups: [2],
  })
})
