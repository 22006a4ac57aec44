package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// write fills a folder: layout (all platforms, with the bills of materials as referrers), and for each platform an archive to load
// into an engine and the bill of materials as a file.
func write(dir, version string, index v1.ImageIndex, built []variant) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %s: %w", dir, err)
	}
	path, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		return fmt.Errorf("start the layout: %w", err)
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": version})); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	for _, one := range built {
		if err := one.attached.each(path.WriteBlob); err != nil {
			return fmt.Errorf("write the bill of materials into the layout: %w", err)
		}
		if err := path.AppendDescriptor(one.attached.descriptor); err != nil {
			return fmt.Errorf("list the bill of materials in the layout: %w", err)
		}
		if err := one.write(dir, version); err != nil {
			return err
		}
	}
	return nil
}

func (one variant) write(dir, version string) error {
	tag, err := name.NewTag("pcnfunding:" + version)
	if err != nil {
		return fmt.Errorf("name the image: %w", err)
	}
	stem := filepath.Join(dir, "pcnfunding-"+one.platform.OS+"-"+one.platform.Architecture)
	if err := tarball.WriteToFile(stem+".tar", tag, one.image); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	content, err := encode(one.bom)
	if err != nil {
		return err
	}
	if err := os.WriteFile(stem+".cdx.json", content, 0o644); err != nil { //nolint:gosec // a list of modules is no secret
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}
