BEGIN TRANSACTION;
CREATE TABLE "collectives" (
   "run" INTEGER REFERENCES "runs"("id"),
   "name" TEXT,
   "kind" TEXT,
   "library" TEXT,
   "bytes" INTEGER,
   "ranks" INTEGER,
   "count" INTEGER,
   "matched" INTEGER,
   "unmatched" INTEGER,
   "rejected" INTEGER,
   "floor_ns" INTEGER,
   "wire_p50_ns" INTEGER,
   "wire_p95_ns" INTEGER,
   "wire_p99_ns" INTEGER,
   "wire_max_ns" INTEGER,
   "wait_p50_ns" INTEGER,
   "wait_p95_ns" INTEGER,
   "wait_p99_ns" INTEGER,
   "wait_max_ns" INTEGER
);
INSERT INTO "collectives" VALUES(1,'ncclDevKernel_AllReduce_Sum_bf16_RING_LL','all_reduce','NCCL',8192,4,14,14,0,0,8000,8000,8000,8000,8000,3000,3000,3000,3000);
INSERT INTO "collectives" VALUES(2,'ncclDevKernel_AllReduce_Sum_bf16_RING_LL','all_reduce','NCCL',8192,4,736,736,0,0,8416,9107,9839,10166,11028,1180,61770,62469,64127);
CREATE TABLE "per_rank" (
   "run" INTEGER REFERENCES "runs"("id"),
   "rank" INTEGER,
   "period_ns" INTEGER,
   "compute_ns" INTEGER,
   "wait_ns" INTEGER,
   "fused_ns" INTEGER,
   "wire_ns" INTEGER,
   "comm_unsplit_ns" INTEGER,
   "copy_ns" INTEGER,
   "graph_ns" INTEGER,
   "idle_ns" INTEGER,
   "comm_ns" INTEGER,
   "overlap_ns" INTEGER,
   PRIMARY KEY ("run", "rank")
);
INSERT INTO "per_rank" VALUES(1,0,44000,20000,6000,0,16000,0,0,0,2000,22000,0);
INSERT INTO "per_rank" VALUES(1,1,44000,26000,0,0,16000,0,0,0,2000,16000,0);
INSERT INTO "per_rank" VALUES(1,2,44000,20000,6000,0,16000,0,0,0,2000,22000,0);
INSERT INTO "per_rank" VALUES(1,3,44000,20000,6000,0,16000,0,0,0,2000,22000,0);
INSERT INTO "per_rank" VALUES(2,0,2767225,1259799,989147,0,288904,0,3616,0,223783,1279485,0);
INSERT INTO "per_rank" VALUES(2,1,2770098,1258900,989505,0,292715,0,3584,0,222785,1282874,0);
INSERT INTO "per_rank" VALUES(2,2,2770940,1260858,989168,0,292385,0,3552,0,221126,1281118,0);
INSERT INTO "per_rank" VALUES(2,3,2770613,2231344,12610,0,290493,0,3616,0,229924,303103,0);
CREATE TABLE "runs" (
   "id" INTEGER PRIMARY KEY,
   "added" TEXT NOT NULL,
   "name" TEXT,
   "host" TEXT,
   "commit" TEXT,
   "tags" TEXT,
   "trace" TEXT,
   "nsys_version" TEXT,
   "nsysan_version" TEXT,
   "gpu" TEXT,
   "ranks" INTEGER,
   "graph_trace" TEXT,
   "steps_source" TEXT,
   "steps" INTEGER,
   "steady" INTEGER,
   "period_ns" REAL,
   "compute_ns" REAL,
   "wait_ns" REAL,
   "wire_ns" REAL,
   "fused_ns" REAL,
   "comm_unsplit_ns" REAL,
   "copy_ns" REAL,
   "idle_ns" REAL,
   "comm_ns" REAL,
   "overlap_ns" REAL,
   "wire_p50_ns" REAL,
   "wire_p95_ns" REAL,
   "wire_p99_ns" REAL,
   "wire_max_ns" REAL,
   "wait_p50_ns" REAL,
   "wait_p95_ns" REAL,
   "wait_p99_ns" REAL,
   "wait_max_ns" REAL,
   "caused_ns" REAL,
   "verdict" TEXT,
   "verdict_reason" TEXT,
   "straggler_rank" INTEGER,
   "straggler_cause" TEXT,
   "no_skew_ns" INTEGER,
   "floor_wire_ns" INTEGER,
   "no_host_late_ns" INTEGER,
   "all_ns" INTEGER,
   "findings" TEXT,
   "hash" TEXT NOT NULL
);
INSERT INTO "runs" VALUES(1,'2026-11-28T03:31:19+00:00','paper.sqlite','node7','1a2b3c4','["nightly", "tp4"]','paper.sqlite','2025.3.2.0','0.1.0','NVIDIA H200',4,'none','NVTX ranges ''decode_step_#'' (decode range)',8,7,44000.0,20000.0,6000.0,16000.0,0.0,0.0,0.0,2000.0,22000.0,0.0,8000.0,8000.0,8000.0,8000.0,3000.0,3000.0,3000.0,3000.0,6000.0,'mixed','the others wait for rank 1, as it computes longer; apart from that no single cause bounds the step (compute 45%, wire 36%, skew 14%, idle 5%, copy 0%)',1,'compute',38000,44000,44000,38000,'["tp_too_wide", "no_overlap", "straggler", "uneven_split", "nccl_for_small"]','8cc1881eb73dbeb89ef163bfe8e3321a3806a15ef81ffe88e78f3bc5a93b0024');
INSERT INTO "runs" VALUES(2,'2026-11-28T03:31:21+00:00','tp4_slow3.sqlite',NULL,NULL,'["nightly"]','tp4_slow3.sqlite','2025.3.2.0','0.1.0','NVIDIA H200',4,'node','NVTX ranges ''decode_step_#'' (decode range)',24,23,2770355.5,1260328.5,989157.5,291439.0,0.0,0.0,3600.0,223284.0,1280301.5,0.0,9107.0,9839.0,10166.0,11028.0,1180.0,61770.0,62469.0,64127.0,971135.0,'mixed','the others wait for rank 3, as it computes longer; apart from that no single cause bounds the step (compute 45%, skew 36%, wire 11%, idle 8%, copy 0%)',3,'compute',1780314,2748951,2742036,1730271,'["straggler", "nccl_for_small", "no_overlap", "graph_gaps"]','45bc9b9fdfec0c3eb08e91cf145939dbec8886b87f12f9af0b5a150d28679786');
CREATE UNIQUE INDEX "idx_runs_hash"
    ON "runs" ("hash");
COMMIT;
