/**
 * The nodes the recordings were made with, rebuilt from facts about the models and the server's settings. Names can be
 * changed, so that nothing in a node depends on them.
 */
import { createSimNode, type SimModel, type SimNode, type SimNodeOptions } from '../../../src/sim/node.ts'

const chatTemplate = '{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n'

const chatModel: SimModel = {
  name: 'smollm2:135m',
  sizeBytes: 98_362_734,
  family: 'llama',
  parameterSize: '134.52M',
  quantization: 'Q4_1',
  contextLength: 8192,
  embeddingLength: 576,
  capabilities: ['completion'],
  loadMs: 540,
  parameters: { num_ctx: 2048, stop: ['<|im_end|>'] },
  template: chatTemplate,
  modifiedAtMs: Date.UTC(2026, 10, 22, 16, 27, 33, 938),
  modelInfo: {
    'general.architecture': 'llama',
    'general.basename': 'smollm2',
    'general.file_type': 3,
    'general.finetune': '8k-lc100k-mix1-ep2',
    'general.languages': ['en'],
    'general.license': 'apache-2.0',
    'general.organization': 'HuggingFaceTB',
    'general.parameter_count': 134_515_008,
    'general.quantization_version': 2,
    'general.size_label': '135M',
    'general.type': 'model',
    'llama.attention.head_count': 9,
    'llama.attention.head_count_kv': 3,
    'llama.attention.layer_norm_rms_epsilon': 0.00001,
    'llama.block_count': 30,
    'llama.context_length': 8192,
    'llama.embedding_length': 576,
    'llama.feed_forward_length': 1536,
    'llama.rope.dimension_count': 64,
    'llama.rope.freq_base': 100_000,
    'llama.vocab_size': 49_152,
    'tokenizer.ggml.add_bos_token': false,
    'tokenizer.ggml.add_space_prefix': false,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.merges': ['a b'],
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.padding_token_id': 2,
    'tokenizer.ggml.pre': 'smollm',
    'tokenizer.ggml.token_type': [1],
    'tokenizer.ggml.tokens': ['a'],
    'tokenizer.ggml.unknown_token_id': 0,
  },
}

const embedModel: SimModel = {
  name: 'all-minilm:l6',
  sizeBytes: 45_949_364,
  family: 'bert',
  parameterSize: '22.57M',
  quantization: 'F16',
  contextLength: 512,
  embeddingLength: 384,
  capabilities: ['embedding'],
  loadMs: 300,
  modifiedAtMs: Date.UTC(2026, 10, 22, 16, 35, 26, 418),
  modelInfo: {
    'bert.attention.causal': false,
    'bert.attention.head_count': 12,
    'bert.attention.layer_norm_epsilon': 1e-12,
    'bert.block_count': 6,
    'bert.context_length': 512,
    'bert.embedding_length': 384,
    'bert.feed_forward_length': 1536,
    'bert.normalize_embeddings': true,
    'bert.pooling_type': 1,
    'general.architecture': 'bert',
    'general.file_type': 1,
    'general.parameter_count': 22_565_376,
    'general.quantization_version': 2,
    'tokenizer.ggml.cls_token_id': 101,
    'tokenizer.ggml.mask_token_id': 103,
    'tokenizer.ggml.model': 'bert',
    'tokenizer.ggml.padding_token_id': 0,
    'tokenizer.ggml.pre': 'default',
    'tokenizer.ggml.scores': [0],
    'tokenizer.ggml.seperator_token_id': 102,
    'tokenizer.ggml.token_type': [1],
    'tokenizer.ggml.token_type_count': 2,
    'tokenizer.ggml.tokens': ['a'],
    'tokenizer.ggml.unknown_token_id': 100,
  },
}

const registryHost = '127.0.0.1:21439/library'

const remote = (name: string, sizeBytes: number): SimModel => ({
  name: `${registryHost}/${name}:latest`,
  sizeBytes,
  family: 'llama',
  parameterSize: '400K',
  quantization: 'F32',
  contextLength: 128,
  embeddingLength: 32,
  capabilities: ['completion'],
  loadMs: 200,
  pulled: false,
  template: '{{ .Prompt }}',
})

const registry = {
  [`${registryHost}/tiny:latest`]: { kind: 'pullable', bytesPerMs: 2_500 },
  [`${registryHost}/corrupt:latest`]: { kind: 'corrupt', bytesPerMs: 2_500 },
  [`${registryHost}/absent:latest`]: { kind: 'absent' },
  [`${registryHost}/pushed:latest`]: { kind: 'push-target', bytesPerMs: 2_500 },
} as const

const common: SimNodeOptions = {
  models: [embedModel, chatModel, remote('tiny', 1_536_672), remote('corrupt', 384_672)],
  registry,
  vramBytes: 0,
  contextTokens: 4096,
  prefillTokensPerSecond: 2_000,
  decodeTokensPerSecond: 100,
  embedMsPerItem: 8,
}

const variants: Readonly<Record<string, SimNodeOptions>> = {
  default: { speed: 8 },
  failure: {
    speed: 1,
    prefillTokensPerSecond: 2_000,
    decodeTokensPerSecond: 150,
    embedMsPerItem: 20,
    models: [
      { ...embedModel, loadMs: 5 },
      { ...chatModel, loadMs: 5 },
    ],
  },
  'no-models': { models: [], cloud: 'disabled', origins: 'any' },
  'go-template-off': { speed: 8, nativeTemplate: true },
  'converted-model': { models: [{ ...embedModel, converted: true }, chatModel] },
  'max-queue-1': { maxQueue: 1, maxLoadedModels: 1, models: [embedModel, { ...chatModel, loadMs: 3_000 }] },
  'load-timeout-2s': { loadTimeoutMs: 150, models: [{ ...chatModel, loadMs: 10_000 }] },
}

/** Starts the node of a server variant; `rename` is applied to every text of its setup. */
export function startStage(variant: string, rename: (text: string) => string): Promise<SimNode> {
  const options: SimNodeOptions = { ...common, ...variants[variant] }
  const renamed = JSON.parse(rename(JSON.stringify(options))) as SimNodeOptions
  return createSimNode(renamed)
}
