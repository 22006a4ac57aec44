package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	bomType   = "application/vnd.cyclonedx+json"
	emptyType = "application/vnd.oci.empty.v1+json"
)

type bom = cyclonedx.BOM

// materialsOf lists what a binary is made of, as the linker noted it in the binary itself: each module with its version and checksum,
// and the standard library. A list made of go.mod would name modules that are not in the binary.
func materialsOf(binary, version string, created time.Time) (*bom, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read what the binary is made of: %w", err)
	}
	application := cyclonedx.Component{
		BOMRef: "pcnfunding", Type: cyclonedx.ComponentTypeApplication, Name: "pcnfunding", Version: version,
		PackageURL: purl(info.Main.Path, version),
	}
	components := []cyclonedx.Component{module("std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, dep := range info.Deps {
		components = append(components, component(dep, version))
	}
	refs := make([]string, 0, len(components))
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	out := cyclonedx.NewBOM()
	out.Metadata = &cyclonedx.Metadata{Timestamp: created.Format(time.RFC3339), Component: &application}
	out.Components = &components
	out.Dependencies = &[]cyclonedx.Dependency{{Ref: application.BOMRef, Dependencies: &refs}}
	return out, nil
}

// component describes a module. One of this repository has no version of its own: it is released with the binary.
func component(dep *debug.Module, version string) cyclonedx.Component {
	if dep.Replace != nil && !strings.HasPrefix(dep.Replace.Path, ".") {
		dep = dep.Replace
	}
	if dep.Version == "(devel)" || dep.Replace != nil {
		return module(dep.Path, version, "")
	}
	return module(dep.Path, dep.Version, dep.Sum)
}

func module(path, version, sum string) cyclonedx.Component {
	c := cyclonedx.Component{
		BOMRef: purl(path, version), Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl(path, version),
	}
	// A checksum of go.sum is a SHA-256 in base64 behind "h1:".
	if encoded, ok := strings.CutPrefix(sum, "h1:"); ok {
		if hash, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(hash)}}
		}
	}
	return c
}

func purl(path, version string) string { return "pkg:golang/" + path + "@" + version }

// encode writes a bill of materials as JSON.
func encode(b *bom) ([]byte, error) {
	var out bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := encoder.Encode(b); err != nil {
		return nil, fmt.Errorf("write the bill of materials: %w", err)
	}
	return out.Bytes(), nil
}

// artifact is a manifest that refers to an image, with what it holds.
type artifact struct {
	manifest   []byte
	blobs      []v1.Layer
	descriptor v1.Descriptor
}

// RawManifest implements remote.Taggable.
func (a artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

// MediaType tells what the manifest is; a registry asks for it.
func (a artifact) MediaType() (types.MediaType, error) { //nolint:unparam // as the registry's client wants it
	return a.descriptor.MediaType, nil
}

// attach makes the artifact that a registry lists among the referrers of the image.
func attach(image v1.Image, materials *bom, created time.Time) (artifact, error) {
	subject, err := partial.Descriptor(image)
	if err != nil {
		return artifact{}, fmt.Errorf("describe the image: %w", err)
	}
	content, err := encode(materials)
	if err != nil {
		return artifact{}, err
	}
	config, body := static.NewLayer([]byte("{}"), emptyType), static.NewLayer(content, bomType)
	manifest := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bomType,
		Subject:     &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
		Annotations: map[string]string{"org.opencontainers.image.created": created.Format(time.RFC3339)},
	}
	a := artifact{blobs: []v1.Layer{config, body}}
	for i, blob := range a.blobs {
		described, err := partial.Descriptor(blob)
		if err != nil {
			return artifact{}, fmt.Errorf("describe the bill of materials: %w", err)
		}
		if i == 0 {
			manifest.Config = *described
		} else {
			manifest.Layers = append(manifest.Layers, *described)
		}
	}
	if a.manifest, err = json.Marshal(manifest); err != nil {
		return artifact{}, fmt.Errorf("write the manifest of the bill of materials: %w", err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(a.manifest))
	a.descriptor = v1.Descriptor{
		MediaType: types.OCIManifestSchema1, ArtifactType: bomType, Digest: digest, Size: size, Annotations: manifest.Annotations,
	}
	return a, err
}

// each calls fn with the digest and the content of every blob, that of the manifest last.
func (a artifact) each(fn func(v1.Hash, io.ReadCloser) error) error {
	for _, blob := range a.blobs {
		digest, err := blob.Digest()
		if err != nil {
			return err
		}
		content, err := blob.Compressed()
		if err != nil {
			return err
		}
		if err := fn(digest, content); err != nil {
			return err
		}
	}
	return fn(a.descriptor.Digest, io.NopCloser(bytes.NewReader(a.manifest)))
}

func (a artifact) push(to name.Repository, how ...remote.Option) error {
	for _, blob := range a.blobs {
		if err := remote.WriteLayer(to, blob, how...); err != nil {
			return err
		}
	}
	return remote.Put(to.Digest(a.descriptor.Digest.String()), a, how...)
}
