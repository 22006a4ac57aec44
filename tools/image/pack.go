package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	command = "./services/cmd/pcnfunding"
	// binaryPath, dataPath and userID are promises to whoever runs the image; deploy/docker/Dockerfile keeps them too.
	binaryPath = "/usr/local/bin/pcnfunding"
	dataPath   = "/var/lib/pcnfunding"
	userID     = 65532
)

// compile builds the static binary. Nothing of the machine goes in: no paths, no state of the working copy, no C library, and of the
// environment only what Go needs to find its caches.
func compile(ctx context.Context, o options, platform v1.Platform, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", //nolint:gosec // who builds says what
		"-ldflags", "-s -w -X main.version="+o.version, "-o", to, command)
	cmd.Dir = o.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0",
		"GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// entry is one file or folder of the image.
type entry struct {
	path    string
	mode    int64
	owner   int
	content []byte // nil for a folder
}

// pack makes the image: a layer with what programs expect to find, and one with the binary, so that an upgrade fetches the
// second only.
func pack(binary []byte, platform v1.Platform, labels map[string]string, created time.Time) (v1.Image, error) {
	ground, err := layer(ground())
	if err != nil {
		return nil, fmt.Errorf("make the first layer: %w", err)
	}
	program, err := layer([]entry{{path: binaryPath, mode: 0o755, content: binary}})
	if err != nil {
		return nil, fmt.Errorf("make the layer of the binary: %w", err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: ground, History: v1.History{Created: v1.Time{Time: created}, CreatedBy: "users, certificates, folders"}},
		mutate.Addendum{Layer: program, History: v1.History{Created: v1.Time{Time: created}, CreatedBy: "pcnfunding"}})
	if err != nil {
		return nil, fmt.Errorf("put the layers together: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: created}
	config.Config = v1.Config{
		Entrypoint: []string{binaryPath}, User: fmt.Sprintf("%d:%[1]d", userID), WorkingDir: dataPath, Labels: labels,
		Env: []string{"PATH=/usr/local/bin", "HOME=" + dataPath, "PCN_DATA_DIR=" + dataPath},
	}
	return mutate.ConfigFile(image, config)
}

// ground is what lies below the binary. There is no shell and no package manager.
func ground() []entry {
	return []entry{
		{path: "/etc", mode: 0o755},
		{path: "/etc/group", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", userID)},
		{path: "/etc/passwd", mode: 0o644, content: fmt.Appendf(nil,
			"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%d:%[1]d:nonroot:%s:/sbin/nologin\n", userID, dataPath)},
		{path: "/etc/ssl", mode: 0o755},
		{path: "/etc/ssl/certs", mode: 0o755},
		{path: "/etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: roots()},
		{path: "/tmp", mode: 0o1777},
		{path: "/usr", mode: 0o755},
		{path: "/usr/local", mode: 0o755},
		{path: "/usr/local/bin", mode: 0o755},
		{path: "/var", mode: 0o755},
		{path: "/var/lib", mode: 0o755},
		{path: dataPath, mode: 0o700, owner: userID},
	}
}

// roots are Mozilla's certification authorities as the Go project publishes them. Those with a constraint are left out: a file of
// certificates cannot carry one.
func roots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
		}
	}
	return out.Bytes()
}

// layer makes a layer whose bytes depend on its entries only.
func layer(entries []entry) (v1.Layer, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Clean(e.path)[1:], Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.content)),
			ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
		}
		if e.content == nil {
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	content := out.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}

// indexOf lists the images by platform.
func indexOf(built []variant) v1.ImageIndex {
	adds := make([]mutate.IndexAddendum, 0, len(built))
	for _, one := range built {
		adds = append(adds, mutate.IndexAddendum{Add: one.image, Descriptor: v1.Descriptor{Platform: &one.platform}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
}

// compressedSize is what a machine fetches that has none of the image.
func compressedSize(image v1.Image) (total int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, err
	}
	for _, l := range layers {
		size, err := l.Size()
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}
