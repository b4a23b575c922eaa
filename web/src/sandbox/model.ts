// STL, OBJ and glTF by three.js: turn with the mouse, a finger or the arrow keys.

import {
  AmbientLight, Box3, Color, DirectionalLight, Group, HemisphereLight, LoadingManager, Mesh, MeshStandardMaterial,
  PerspectiveCamera, Scene, TextureLoader, Vector3, WebGLRenderer, type Object3D,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { OBJLoader } from 'three/addons/loaders/OBJLoader.js';
import { STLLoader } from 'three/addons/loaders/STLLoader.js';

export async function showModel(path: string, data: Uint8Array<ArrayBuffer>, dark: boolean): Promise<string> {
  const object = await parse(path.toLowerCase(), data);
  const box = new Box3().setFromObject(object);
  if (box.isEmpty()) throw new Error('there is nothing in it');
  const size = box.getSize(new Vector3());
  const centre = box.getCenter(new Vector3());
  const reach = Math.max(size.x, size.y, size.z) || 1;
  object.position.sub(centre);

  const renderer = new WebGLRenderer({ antialias: true });
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  renderer.domElement.tabIndex = 0;
  renderer.domElement.setAttribute('role', 'img');
  renderer.domElement.setAttribute('aria-label', `Model ${path}`);
  document.body.append(renderer.domElement);

  const scene = new Scene();
  scene.background = new Color(dark ? 0x131a1c : 0xf3f6f6);
  scene.add(new AmbientLight(0xffffff, 0.5), new HemisphereLight(0xffffff, 0x667777, 1.2), object);
  const camera = new PerspectiveCamera(40, 1, reach / 1000, reach * 100);
  camera.position.set(reach * 1.1, reach * 0.9, reach * 1.7);
  const sun = new DirectionalLight(0xffffff, 1.8);
  camera.add(sun);
  sun.position.set(1, 1.5, 1);
  scene.add(camera);

  const controls = new OrbitControls(camera, renderer.domElement);
  controls.listenToKeyEvents(renderer.domElement);
  const draw = () => renderer.render(scene, camera);
  controls.addEventListener('change', draw);
  const resize = () => {
    renderer.setSize(innerWidth, innerHeight);
    camera.aspect = innerWidth / Math.max(1, innerHeight);
    camera.updateProjectionMatrix();
    draw();
  };
  addEventListener('resize', resize);
  resize();
  // Textures arrive a little later.
  setTimeout(draw, 100);
  setTimeout(draw, 600);
  const number = (value: number) => Number(value.toPrecision(4));
  return `${number(size.x)} × ${number(size.y)} × ${number(size.z)}, ${triangles(object).toLocaleString('en')} triangles. Drag to turn.`;
}

function triangles(object: Object3D): number {
  let count = 0;
  object.traverse((each) => {
    if (!(each instanceof Mesh)) return;
    count += Math.floor((each.geometry.index?.count ?? each.geometry.attributes.position?.count ?? 0) / 3);
  });
  return count;
}

const plain = () => new MeshStandardMaterial({ color: 0x3f9d8f, roughness: 0.65, metalness: 0.05, flatShading: false });

async function parse(path: string, data: Uint8Array<ArrayBuffer>): Promise<Object3D> {
  if (path.endsWith('.stl')) {
    const group = new Group();
    // STL is made by people who draw with z upwards.
    const geometry = new STLLoader().parse(data.buffer as ArrayBuffer);
    // Many programs leave the normals out; the corners tell them.
    geometry.computeVertexNormals();
    group.add(new Mesh(geometry, plain()));
    group.rotation.x = -Math.PI / 2;
    return group;
  }
  if (path.endsWith('.obj')) {
    const object = new OBJLoader().parse(new TextDecoder().decode(data));
    object.traverse((each) => {
      if (!(each instanceof Mesh)) return;
      if (!each.geometry.attributes.normal) each.geometry.computeVertexNormals();
      each.material = plain();
    });
    return object;
  }
  return parseGltf(path, data);
}

async function parseGltf(path: string, data: Uint8Array<ArrayBuffer>): Promise<Object3D> {
  const manager = new LoadingManager();
  manager.setURLModifier((url) => {
    if (/^(?:data|blob):/.test(url)) return url;
    throw new Error('it refers to another file; a .glb has everything in it');
  });
  const loader = new GLTFLoader(manager);
  // Pictures as elements, which may be blobs here; the default loads them over the network.
  loader.register((parser) => {
    parser.textureLoader = new TextureLoader(manager);
    return { name: 'pictures-as-elements' };
  });
  const content = path.endsWith('.gltf') ? withBuffersInside(new TextDecoder().decode(data)) : data.buffer;
  const { scene } = await loader.parseAsync(content, '');
  return scene;
}

/** glTF with its buffers as data URLs becomes GLB: nothing may be fetched here, not even those. */
function withBuffersInside(json: string): ArrayBuffer {
  const gltf = JSON.parse(json) as { buffers?: { uri?: string; byteLength: number }[] };
  const buffers = gltf.buffers ?? [];
  if (buffers.length > 1) throw new Error('it has several buffers; a .glb has one');
  const uri = buffers[0]?.uri;
  let binary = new Uint8Array(0);
  if (uri !== undefined) {
    const packed = /^data:[^,]*;base64,(.*)$/s.exec(uri)?.[1];
    if (packed === undefined) throw new Error('it refers to another file; a .glb has everything in it');
    binary = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
    delete buffers[0]!.uri;
  }
  const text = new TextEncoder().encode(JSON.stringify(gltf));
  const round = (n: number) => Math.ceil(n / 4) * 4;
  const total = 12 + 8 + round(text.length) + (binary.length > 0 ? 8 + round(binary.length) : 0);
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x46546c67, true);
  view.setUint32(4, 2, true);
  view.setUint32(8, total, true);
  view.setUint32(12, round(text.length), true);
  view.setUint32(16, 0x4e4f534a, true);
  out.fill(0x20, 20, 20 + round(text.length));
  out.set(text, 20);
  if (binary.length > 0) {
    const at = 20 + round(text.length);
    view.setUint32(at, round(binary.length), true);
    view.setUint32(at + 4, 0x004e4942, true);
    out.set(binary, at + 8);
  }
  return out.buffer;
}
