// Command schemas writes strict JSON schemas of the Kubernetes kinds that the chart renders, from the API description in the
// k8s.io/kubernetes module: a field that the API does not know is an error in them, which the API server itself may only warn of.
//
//	schemas SWAGGER DIR
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kinds are those of the chart and of its verification, by the names of their definitions.
var kinds = []string{
	"io.k8s.api.apps.v1.Deployment",
	"io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
	"io.k8s.api.batch.v1.CronJob",
	"io.k8s.api.batch.v1.Job",
	"io.k8s.api.core.v1.ConfigMap",
	"io.k8s.api.core.v1.Service",
	"io.k8s.api.core.v1.ServiceAccount",
	"io.k8s.api.networking.v1.Ingress",
	"io.k8s.api.networking.v1.NetworkPolicy",
	"io.k8s.api.policy.v1.PodDisruptionBudget",
}

const definitionsFile = "_definitions.json"

type object = map[string]any

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: schemas SWAGGER DIR")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(swagger, dir string) error {
	text, err := os.ReadFile(swagger) //nolint:gosec // the caller names the file
	if err != nil {
		return fmt.Errorf("read the API description: %w", err)
	}
	var api struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(text, &api); err != nil {
		return fmt.Errorf("decode the API description: %w", err)
	}
	used := make(object)
	for _, kind := range kinds {
		if err := collect(kind, api.Definitions, used); err != nil {
			return err
		}
		name := fileName(api.Definitions[kind])
		if err := write(filepath.Join(dir, name), object{"$ref": definitionsFile + "#/definitions/" + kind}); err != nil {
			return err
		}
	}
	return write(filepath.Join(dir, definitionsFile), object{"definitions": used})
}

// collect puts a definition, made strict, and all that it refers to into used.
func collect(name string, all map[string]object, used object) error {
	if used[name] != nil {
		return nil
	}
	definition, known := all[name]
	if !known {
		return fmt.Errorf("the API description has no %s", name)
	}
	strict, refs := tighten(name, definition)
	used[name] = strict
	for _, ref := range refs {
		if err := collect(ref, all, used); err != nil {
			return err
		}
	}
	return nil
}

// tighten refuses fields that an object does not name, and leaves out what only people read. It returns what is referred to as well.
func tighten(name string, definition object) (strict object, refs []string) {
	switch name {
	case "io.k8s.apimachinery.pkg.api.resource.Quantity":
		return object{"type": []string{"string", "number"}}, nil
	case "io.k8s.apimachinery.pkg.util.intstr.IntOrString":
		return object{"type": []string{"string", "integer"}}, nil
	}
	strict = clean(definition, &refs)
	if properties, ok := strict["properties"].(object); ok {
		strict["additionalProperties"] = false
		if named := groupVersionKinds(definition); len(named) == 1 {
			properties["apiVersion"] = object{"const": strings.TrimPrefix(named[0].group+"/"+named[0].version, "/")}
			properties["kind"] = object{"const": named[0].kind}
			strict["required"] = []string{"apiVersion", "kind", "metadata"}
		}
	}
	return strict, refs
}

// clean copies a schema without descriptions and extensions of OpenAPI, and notes what it refers to.
func clean(schema object, refs *[]string) object {
	out := make(object)
	for _, key := range slices.Sorted(maps.Keys(schema)) {
		value := schema[key]
		switch {
		case key == "description" || key == "default" || key == "format" || strings.HasPrefix(key, "x-"):
		case key == "$ref":
			ref := strings.TrimPrefix(value.(string), "#/definitions/")
			*refs = append(*refs, ref)
			out[key] = "#/definitions/" + ref
		case key == "properties":
			properties := make(object)
			for name, property := range value.(object) {
				properties[name] = clean(property.(object), refs)
			}
			out[key] = properties
		default:
			if nested, ok := value.(object); ok {
				value = clean(nested, refs)
			}
			out[key] = value
		}
	}
	return out
}

type groupVersionKind struct{ group, version, kind string }

func groupVersionKinds(definition object) []groupVersionKind {
	var out []groupVersionKind
	listed, _ := definition["x-kubernetes-group-version-kind"].([]any)
	for _, one := range listed {
		named := one.(object)
		out = append(out, groupVersionKind{named["group"].(string), named["version"].(string), named["kind"].(string)})
	}
	return out
}

// fileName is where kubeconform looks for a kind: <kind>[-<first part of the group>]-<version>.json.
func fileName(definition object) string {
	named := groupVersionKinds(definition)[0]
	parts := []string{strings.ToLower(named.kind)}
	if group, _, _ := strings.Cut(named.group, "."); group != "" {
		parts = append(parts, group)
	}
	return strings.Join(append(parts, named.version), "-") + ".json"
}

func write(path string, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil { //nolint:gosec // schemas are public
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
